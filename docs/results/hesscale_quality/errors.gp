# gnuplot errors.gp makes errors.svg; with -e "format='png'", errors.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 1000,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 1000,600
  } else {
    set terminal png noenhanced size 1000,600
  }
}
set output 'errors.'.format
set datafile separator ','
heading = "Errors of estimates of the Hessian's diagonal"."\n"."HesScale: errors of estimates of the Hessian's diagonal; MNIST, cpu scale (2000 steps of Adam, 20 images, 40"."\n"."seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set logscale y
set ylabel 'L1 error over that of HesScale'
set style data histograms
set style fill solid 0.7
set xtics rotate by -35
set format y '%.0e'
set key outside right
set bmargin 6
of(a, t) = strcol(1) eq a && strcol(2) eq t ? column(8) : NaN
plot 'errors.csv' every ::1::10 using 8:xtic(3) title 'relu, before training', 'errors.csv' every ::11::20 using 8:xtic(3) title 'relu, after training', 'errors.csv' every ::21::30 using 8:xtic(3) title 'tanh, before training', 'errors.csv' every ::31::40 using 8:xtic(3) title 'tanh, after training'
