# gnuplot options.gp makes options.svg; with -e "format='png'", options.png
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
set output 'options.'.format
set datafile separator ','
heading = "Length of the parameter and test accuracy, one point per training"."\n"."Penalties on the parameter and on the intrinsic variable; MNIST, cpu scale (1000 training images,"."\n"."800 steps of Adam, 3 seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel '|p|'
set ylabel 'test accuracy, %'
set key outside right
of(n, c) = strcol(1) eq n ? column(c) : NaN
set style data points
plot 'options.csv' using 6:(of('none', 4)) every ::1 pt 1 title 'none', 'options.csv' using 6:(of('L2 on p', 4)) every ::1 pt 2 title 'L2 on p', 'options.csv' using 6:(of('L2 on z', 4)) every ::1 pt 3 title 'L2 on z', 'options.csv' using 6:(of('L1 on p', 4)) every ::1 pt 4 title 'L1 on p', 'options.csv' using 6:(of('L1 on p; proximal', 4)) every ::1 pt 5 title 'L1 on p, proximal', 'options.csv' using 6:(of('L1 on z', 4)) every ::1 pt 6 title 'L1 on z', 'options.csv' using 6:(of('L1 on z; proximal', 4)) every ::1 pt 7 title 'L1 on z, proximal', 'options.csv' using 6:(of('gradient on p', 4)) every ::1 pt 8 title 'gradient on p', 'options.csv' using 6:(of('gradient on z', 4)) every ::1 pt 9 title 'gradient on z', 'options.csv' using 6:(of('SAM', 4)) every ::1 pt 10 title 'SAM'
