# gnuplot seconds.gp makes seconds.svg; with -e "format='png'", seconds.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'seconds.'.format
set datafile separator ','
heading = "Seconds per step over parameters"."\n"."HesScale: time per step over parameters (9 rounds, 2 threads)"
set title heading
set logscale xy
set xlabel 'parameters'
set ylabel 'seconds per step'
set key top left
of(m) = strcol(2) eq m ? column(3) : NaN
plot 'seconds.csv' using 1:(of('Adam')) every ::1 with points pt 7 title 'Adam', 'seconds.csv' using 1:(of('SGD')) every ::1 with points pt 7 title 'SGD', 'seconds.csv' using 1:(of('BL89')) every ::1 with points pt 7 title 'BL89', 'seconds.csv' using 1:(of('GGN-MC')) every ::1 with points pt 7 title 'GGN-MC', 'seconds.csv' using 1:(of('AdaHesScaleGN')) every ::1 with points pt 7 title 'AdaHesScaleGN', 'seconds.csv' using 1:(of('AdaHesScale')) every ::1 with points pt 7 title 'AdaHesScale', 'seconds.csv' using 1:(of('AdaHessian')) every ::1 with points pt 7 title 'AdaHessian'
